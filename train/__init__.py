"""The harness: trains, compares and reports with the losses of jaxloss."""
