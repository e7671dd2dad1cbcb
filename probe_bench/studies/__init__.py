"""Studies: planned sets of pretrainings and runs that test one claim, each by one command."""
