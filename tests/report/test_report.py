"""The report of a sweep: what is in its folder, and that it works in a browser."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark_jax.cli.command import main as bark_jax_command
from bark_jax.report.build import build
from bark_jax.report.columns import columns_of
from bark_jax.report.labels import label_of
from bark_jax.runtime.files import write_json
from bark_jax.sweeps.point_files import ERROR_FILE, METRICS_FILE
from bark_jax.sweeps.results import open_sweep

RATE = 8000
TEXT = "</script><b>hello</b>"


def add_point(folder: Path, temperature: float, seed: int, top_k: int | None = None) -> None:
    """A finished point with a tone; its pitch rises with temperature, its length with the seed."""
    folder.mkdir(parents=True)
    duration_s = 0.2 + 0.1 * seed
    time_S = np.arange(round(duration_s * RATE)) / RATE
    audio = 0.5 * np.sin(2 * np.pi * 400 * temperature * time_S)
    soundfile.write(folder / "audio.wav", audio.astype(np.float32), RATE, subtype="FLOAT")
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text(f"seed: {seed}\n")
    settings = {
        "prompts.text": TEXT,
        "voices.name": None,
        "seed": seed,
        "sampling.semantic.temperature": temperature,
        "sampling.semantic.top_k": top_k,
    }
    metrics = {"duration_s": duration_s, "loudness_lufs": -20 * temperature, "transcript": "hullo",
               "semantic_finish": "eos" if seed else "max_tokens",
               "words_per_s": float(seed == 2),  # a deviation beyond the values
               "f0_median_hz": None if seed == 2 else 400 * temperature}  # fmt: skip
    provenance = {"bark_jax": "0.1.0", "commit": "0123456789", "device": "cpu: cpu"}
    content = {"settings": settings, "metrics": metrics, "provenance": provenance}
    write_json(folder / METRICS_FILE, {"key": folder.name, **content})


@pytest.fixture(scope="module")
def sweep_dir(tmp_path_factory):
    """Twelve points and one that has failed."""
    out = tmp_path_factory.mktemp("sweep") / "my sweep"
    keys = [f"point{i:02d}" for i in range(13)]
    open_sweep(out, keys)
    grid = [(t, k, s) for t in (0.5, 0.9) for k in (None, 10) for s in (0, 1, 2)]
    for key, (temperature, top_k, seed) in zip(keys, grid, strict=False):
        add_point(out / key, temperature, seed, top_k)
    (out / keys[12]).mkdir()
    settings = {"prompts.text": TEXT, "seed": 7, "sampling.semantic.temperature": 0.5}
    write_json(
        out / keys[12] / ERROR_FILE, {"key": keys[12], "settings": settings, "error": "E: no"}
    )
    return out


@pytest.fixture(scope="module")
def page(sweep_dir):
    return build(sweep_dir)


def data_of(page: Path) -> dict:
    content = page.with_name("data.js").read_text()
    return json.loads(content.removeprefix("window.REPORT = ").removesuffix(";\n"))


def test_the_folder_has_everything_and_nothing_points_out(page):
    assert page.name == "index.html"
    folder = page.parent
    names = {path.name for path in folder.iterdir()}
    scripts = {"data.js", "page.js", "plots.js", "table.js"}
    assert names == {"index.html", "report.css", "audio", "spectrograms"} | scripts
    assert len(list(folder.glob("audio/*.wav"))) == len(list(folder.glob("spectrograms/*.png")))
    assert len(list(folder.glob("audio/*.wav"))) == 12
    assert soundfile.info(folder / "audio" / "point00.wav").subtype == "PCM_16"
    for name in names - {"audio", "spectrograms", "data.js"}:
        text = (folder / name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text and "//" not in text.split("\n")[0]


def test_data_hold_rows_columns_and_configs(page):
    data = data_of(page)
    assert data["title"] == "my sweep" and len(data["rows"]) == 13
    columns = data["columns"]
    assert set(columns["swept"]) >= {"seed", "sampling.semantic.temperature"}
    assert columns["metrics"] == ["duration_s", "loudness_lufs", "words_per_s", "f0_median_hz"]
    assert columns["words"] == ["transcript", "semantic_finish", "error"]
    assert data["configs"]["point01"] == "seed: 1\n"
    assert data["labels"]["f0_median_hz"]["unit"] == "Hz"
    assert len(data["provenance"]) == 1


def test_a_report_is_made_anew(sweep_dir, page):
    (page.parent / "audio" / "old.wav").write_bytes(b"")
    assert build(sweep_dir) == page
    assert not (page.parent / "audio" / "old.wav").exists()
    assert not list(sweep_dir.glob(".*partial"))


def test_nothing_but_a_report_is_overwritten(sweep_dir, tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(ValueError, match="is there and is not a report"):
        build(sweep_dir, tmp_path)
    assert (tmp_path / "precious.txt").exists()


def test_a_folder_without_results_is_refused(tmp_path, capsys):
    assert bark_jax_command(["report", str(tmp_path)]) == 1
    assert "holds no results of a sweep" in capsys.readouterr().err


def test_columns_are_told_apart():
    rows = [
        {"folder": "a", "key": "a", "status": "done", "seed": 1, "model.source": "m", "wer": 0.5},
        {"folder": "b", "key": "b", "status": "done", "seed": 2, "model.source": "m", "wer": None,
         "semantic_finish": "eos"},
    ]  # fmt: skip
    found = columns_of(rows)
    assert (found.swept, found.constant) == (["seed"], {"model.source": "m"})
    assert (found.metrics, found.words) == (["wer"], ["semantic_finish"])


def test_labels_know_stages_and_strangers():
    assert label_of("coarse_tokens_per_s")["label"] == "coarse speed"
    assert label_of("my_metric") == {"label": "my_metric", "unit": "", "help": "", "words": {}}
    finish = label_of("semantic_finish")
    assert finish["label"] == "semantic end" and finish["words"]["eos"] == "by itself"


@pytest.mark.thorough
@pytest.mark.parametrize("width", [1440, 390])
def test_the_page_works_in_a_browser(page, width):
    """Headless Chromium opens the page from disk, and somebody sorts, filters and plays."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs chromium and chromedriver")
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
        )
        driver.get(page.as_uri())

        def all_of(selector: str) -> list:
            return driver.find_elements(By.CSS_SELECTOR, selector)

        def order() -> list[str]:
            return [row.get_attribute("id") for row in all_of("#rows tr[id]")]

        def type_filter(text: str) -> None:
            box = all_of("#filter")[0]
            box.clear()
            box.send_keys(text or " ")

        assert len(order()) == 13 and "13 points · 1 failed" in all_of("#summary")[0].text
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        assert all_of("#text")[0].text == TEXT  # of all points
        assert "semantic end" in all_of("#table")[0].text.lower()
        outside = """return [...document.querySelectorAll('#plot-grid .spread')].filter((bar) =>
            Math.min(bar.y1.baseVal.value, bar.y2.baseVal.value) < 10 ||
            Math.max(bar.y1.baseVal.value, bar.y2.baseVal.value) > 146).length"""
        assert driver.execute_script(outside) == 0
        for element in all_of("audio, .sound img"):
            path = Path(page.parent, element.get_dom_attribute("src"))
            assert path.is_file(), path
        ready = "return Promise.all([...document.querySelectorAll('audio')].slice(0, 3).map(a => "
        ready += "new Promise((done, fail) => { a.onloadedmetadata = () => done(a.duration); "
        ready += "a.onerror = fail; a.preload = 'metadata'; a.load(); })))"
        assert driver.execute_script(ready) == pytest.approx([0.2, 0.3, 0.4], abs=0.01)

        plots = all_of("#plot-grid svg")
        assert len(plots) == 4 and len(all_of("#plot-grid figure:first-child circle")) >= 12
        driver.execute_script(
            "const x = document.getElementById('plot-colour'); x.value = 'sampling.semantic.top_k';"
            "x.dispatchEvent(new Event('change'));"
        )
        assert [key.text.removeprefix("● ") for key in all_of(".key")] == ["off", "10"]

        if width > 720:
            head = all_of("th[data-column=duration_s] button")[0]
            head.click()
            first = order()
            all_of("th[data-column=duration_s] button")[0].click()
            assert first[0] == "row-point00" and order()[0] == "row-point02"
            assert order()[-1] == first[-1] == "row-point12"  # without a value: last in both
            assert all_of("th[data-column=duration_s]")[0].get_attribute("aria-sort") == (
                "descending"
            )
        else:
            driver.execute_script(
                "const s = document.getElementById('sort'); s.value = 'duration_s down';"
                "s.dispatchEvent(new Event('change'));"
            )
            assert order()[0] == "row-point02" and order()[-1] == "row-point12"

        for text, n_rows in [
            ("seed=1", 4), ("seed=1 temperature<0.7", 2), ("duration_s>0.25", 8), ("top_k=off", 7),
            ("semantic_finish=eos", 8), ("greatest", 4), ("hullo", 12), ("E: no", 1),
            ("nothing-like-it", 0), ("", 13),
        ]:  # fmt: skip
            type_filter(text)
            assert len(order()) == n_rows, text
        type_filter("seed=1 temperature=0.5 top_k=off")
        all_of("#rows .toggle")[0].click()
        assert "seed: 1" in all_of("#rows .details pre")[0].text
        assert not all_of("#rows b")  # text is shown, not run
        type_filter("")
        driver.execute_script(
            "document.querySelector('#plot-grid circle').dispatchEvent(new MouseEvent('click'))"
        )
        assert len(all_of("#rows tr.marked")) == 1
        assert driver.get_log("browser") == []
    finally:
        driver.quit()
