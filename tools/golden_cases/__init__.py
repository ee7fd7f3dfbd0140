"""The golden cases, by subject. Each function gives a list of cases with what the reference says they must give."""
