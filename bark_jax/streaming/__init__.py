"""Audio as it is made: the stages of one text run in turns, each as soon as it knows enough."""
