"""How networks are asked over HTTP: retries, limits shared by processes, secrets removed."""
