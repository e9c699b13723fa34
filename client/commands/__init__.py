"""The verbs of the command line, a module for each group of them; imported when a verb is used."""
