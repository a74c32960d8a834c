"""epochscope, the keeping side: takes flushes in, keeps counts, answers with windows and figures."""
