"""What a user writes first; pyright checks it with everything else, so it must need no casts."""

from bark_jax import Bark, Generation

bark = Bark.from_pretrained("nano")
speech = bark.generate("hello there", voice="rms", seed=1)
speech.save("hello.wav")
rows: list[Generation] = bark.generate(["one", "two"], seed=[1, 2])
for row in rows:
    row.save_voice(f"{row.seed}.npz")
again = bark.generate("once more", voice=speech, seed=[1, 2])[1].audio.mean()
semantic = bark.semantic("hello there", seed=1)
fine = bark.fine(bark.coarse(semantic, seed=1), sampling={"fine": {"temperature": 0}})
print(bark, bark.decode(fine).shape, bark.decode([fine, fine])[0].shape, again)
