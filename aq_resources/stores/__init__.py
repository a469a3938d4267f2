"""What lies in the object store: raw pulls, and the versions of readings read out of them."""
