"""Parts of a config as types, and how files become them. Unknown keys are refused; errors name file, key and what was expected."""
