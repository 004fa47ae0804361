"""How likely given tokens are: a teacher-forced pass through each stage, behind `Bark.score`."""
