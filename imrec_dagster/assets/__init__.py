"""Asset definitions, one file a stage. Asset bodies call imrec_core; logic does not belong here."""
