"""Pure numpy: from counts to rates, intervals, curves. No framework, no SQL, no HTTP."""
