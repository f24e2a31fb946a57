"""The commands behind the rules, one module a rule file; each parses, calls and writes."""
