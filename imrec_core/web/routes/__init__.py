"""Routes of the HTTP API, one router a subject. What they answer with is in schemas/."""
