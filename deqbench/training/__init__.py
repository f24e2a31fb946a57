"""One trainer: a network, a loss and splits make weights, a history and a card. It goes on where it was killed."""
