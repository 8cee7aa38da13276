"""Every single fault that we can name, at every single operation of a shift; all invariants are checked afterwards."""
