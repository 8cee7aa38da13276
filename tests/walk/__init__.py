"""Random walks: the whole daemon through shifts that chance writes, with several faults at once."""
