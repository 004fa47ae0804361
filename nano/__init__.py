"""How the model that ships in the package is made, from its sentences to its files."""
