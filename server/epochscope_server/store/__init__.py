"""The only room that knows SQL: one writer thread, many readers, a log of flushes and what is made of it."""
