"""What models cost on this machine, measured and never guessed."""
