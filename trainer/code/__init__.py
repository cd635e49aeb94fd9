"""The code of a run that its launcher has packed: fetched, verified and unpacked before the run starts."""
