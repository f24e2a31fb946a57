"""The zoo's recipes: a module a kind of network, what it trains on and what is measured of it."""
