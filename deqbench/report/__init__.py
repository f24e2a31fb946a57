"""Tables, verdicts, figures and pages: pure functions of the files that a run left behind."""
