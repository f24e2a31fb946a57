"""Parts of a config as types, and how files become them: unknown keys are refused, errors name file and key."""
