"""What exported modules are made of; `standalone` copies the definitions that a format needs."""
