"""Asset definitions, one file per stage. An asset body opens the lake, calls `imrec_core` and reports the result."""
