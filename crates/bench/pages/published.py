"""Fills the tables of published results (arXiv 2502.00944) in docs/study.md, and checks the figures in its text.

    .venv/bin/python crates/bench/pages/published.py            # needs DuckDB and SciPy for Python
    .venv/bin/python crates/bench/pages/published.py --check    # fails if a table on the page would change
    .venv/bin/python crates/bench/pages/published.py --query "select model, count(*) from runs group by all"

The authors' files `parsed_*.csv` do not ship with the code: --data names their folder. Queries can use `runs`, one row
per row of the files, and `errors`, one row per error at a checkpoint.
"""

import argparse
import itertools
import json
import math
import pathlib
import statistics
import subprocess

import duckdb
from scipy.stats import t as student

import page
from page import ROOT, table

PAGE = ROOT / "docs" / "study.md"
LEVEL = 0.05
# Suffix of each file's name, and its contents.
FILES = {
    "30_12_2024.csv": "SchNet and MPEU, 100k steps, A100 and CPU",
    "19_01_2025.csv": "SchNet and MPEU, 2M steps, A100 and CPU",
    "15_05_2025.csv": "PaiNN, 2M steps, A100",
    "21_06_2025.csv": "PaiNN, 100k steps, CPU",
}

READ = r"""
create table raw as
select row_number() over () as run, right(filename, 14) as file, lower(model) as model, dataset,
    case when batching_type != 'static' then replace(batching_type, '_', '-')
        when batching_round_to_64 = 'True' then 'static-64' else 'static-2^N' end as batcher,
    batch_size::int as batch_size, computing_type as device,
    path is not null and experiment_completed = 'True' as is_complete,
    recompilation_counter::double::int as n_shape, columns('^step_')
from read_csv($files, all_varchar = true, union_by_name = true, filename = true, nullstr = ['nan', 'NaN', '']);

create table cells as
select run, replace(regexp_extract(name, '^step_([0-9_]*[0-9])_', 1), '_', '')::int as step,
    regexp_replace(name, '^step_[0-9_]*[0-9]_', '') as what, text::double as value,
    if(regexp_full_match(text, '[0-9.]+'), length(split_part(text, '.', 2)), null) as n_decimal
from (unpivot raw on columns('^step_') into name name value text);

-- Times are in seconds; the published "update" includes the batching.
create table runs as
with times as (
    select run, step as n_step, max(value) filter (what = 'batching_time_mean') as batching_mean,
        max(value) filter (what = 'batching_time_median') as batching_median,
        max(value) filter (what = 'update_time_mean') as combined_mean,
        max(value) filter (what = 'update_time_median') as combined_median
    from cells where contains(what, '_time_') group by all having count(*) = 4
), n_errors as (
    select run, count(*) as n_error from cells where what like '%rmse' group by run
), whole as (
    select raw.run, file, model, dataset, batcher, batch_size, device, is_complete, n_shape, times.* exclude (run),
        coalesce(n_error, 0) as n_error,
        min(n_step) over (partition by batching_mean, batching_median, combined_mean, combined_median) as n_step_before
    from raw left join times using (run) left join n_errors using (run)
)
-- Two runs never take the same time to the last bit: the longer one is a copy. It has no errors either.
select * exclude (n_step_before), is_complete and combined_mean is not null and (n_step_before < n_step
        or n_error = 0 and max(n_error) over (partition by file, model) > 0) as is_back_filled,
    is_complete and combined_mean is not null and not is_back_filled as is_usable
from whole;

-- A mean absolute error in place of an RMSE has fewer than 8 decimals and is much less than is usual: the median of the
-- numbers in full of the same strategy, else of all strategies, else the mean of the checkpoints before and after.
create table errors as
with all_errors as (
    select runs.* exclude (n_error), step, replace(what, '_rmse', '') as subset, value, n_decimal,
        if(n_decimal = 8, value, null) as in_full
    from cells join runs using (run) where what like '%rmse'
), beside as (
    select *, last_value(in_full ignore nulls) over (line rows between unbounded preceding and 1 preceding) as before,
        first_value(in_full ignore nulls) over (line rows between 1 following and unbounded following) as after
    from all_errors window line as (partition by run, subset order by step)
)
select * exclude (before, after, in_full), n_decimal < 8 and value < 0.8 * coalesce(
        median(in_full) over (partition by file, model, dataset, device, batch_size, batcher, step, subset),
        median(in_full) over (partition by file, model, dataset, device, batch_size, step, subset),
        (coalesce(before, after) + coalesce(after, before)) / 2, 0) as is_mae
from beside;
"""


def read(folder):
    files = sorted(str(path) for path in folder.glob("parsed_*.csv"))
    if not files:
        raise SystemExit(f"no file parsed_*.csv in {folder}; they do not come with the code: give their folder as --data")
    sql = duckdb.connect()
    for statement in READ.split(";\n"):
        if statement.strip():
            sql.execute(statement, {"files": files} if "$files" in statement else None)
    return sql


def imported(sql):
    rows = dict((row[0], row[1:]) for row in sql.execute("""
        select file, count(*), count(*) filter (is_usable), count(*) filter (not is_usable and not is_back_filled),
            count(*) filter (is_back_filled), sum(n_error),
            (select count(*) from errors where errors.file = runs.file and is_mae)
        from runs group by file
    """).fetchall())
    head = ["published files", "runs", "completed", "incomplete or not run", "back-filled", "errors at checkpoints",
            "of them MAE"]
    return table(head, [[name, *(f"{count:,}" for count in rows[file])] for file, name in FILES.items()])


def means(sql, device="gpu_a100"):
    """By model, data, steps and strategy: lists over batch sizes of recompilation counts and mean step times."""
    rows = sql.execute("""
        select model, dataset, n_step, batcher, list(n_shape - 1 order by batch_size), list(mean order by batch_size)
        from (select model, dataset, n_step, batcher, batch_size, max(n_shape) as n_shape, avg(combined_mean) as mean
            from runs where is_usable and device = ? group by all)
        group by all
    """, [device]).fetchall()
    return {tuple(row[:4]): row[4:] for row in rows}


def speed_up(of, data, batcher):
    """Speed-ups of PaiNN over the slowest strategy."""
    painn = {key[3]: times for key, (_, times) in of.items() if key[:3] == ("painn", data, 2_000_000)}
    return [f"{max(times) / time:.2f}" for time, *times in zip(painn[batcher], *painn.values())]


def figures(sql):
    """Figures 3 and 5 of the paper."""
    of = means(sql)
    shapes = {key: [str(n) for n in counts] for key, (counts, _) in of.items()}
    rows = [[f"QM9, recompilations of {batcher}", *shapes["painn", "qm9", 2_000_000, batcher]]
            for batcher in ("static-64", "static-2^N")]
    rows += [[f"{name}, speed-up of {batcher}", *speed_up(of, data, batcher)]
             for name, data in (("QM9", "qm9"), ("AFLOW", "aflow")) for batcher in ("dynamic", "static-64")]
    return table(["", "B = 16", "32", "64", "128"], rows)


def moments(sample):
    return len(sample), statistics.mean(sample), statistics.variance(sample)


def welch(a, b):
    """Difference of means, its standard error, and the degrees of freedom."""
    (n, mean, variance), (m, other, other_variance) = moments(a), moments(b)
    x, y = variance / n, other_variance / m
    return mean - other, math.sqrt(x + y), (x + y) ** 2 / (x * x / (n - 1) + y * y / (m - 1))


def may_be_fastest(samples):
    """The verdict for separate runs: all pairs with Bonferroni, the larger of Welch's and the pooled interval."""
    of = {name: moments(sample) for name, sample in samples.items()}
    level = LEVEL / (len(of) * (len(of) - 1))
    freedom = sum(n - 1 for n, _, _ in of.values())
    pooled = sum((n - 1) * variance for n, _, variance in of.values()) / freedom

    def slower(a, b):
        difference, error, own = welch(samples[a], samples[b])
        together = math.sqrt(pooled * (1 / of[a][0] + 1 / of[b][0]))
        return difference > max(student.ppf(1 - level, own) * error, student.ppf(1 - level, freedom) * together)

    return [a for a in of if not any(slower(a, b) for b in of if b != a)]


def fastest(sql):
    rows = sql.execute("""
        select file, device, model, dataset, batch_size, batcher, list(ln(combined_mean))
        from runs where is_usable group by all having count(*) >= 3 order by all
    """).fetchall()
    names = {("30_12_2024.csv", "gpu_a100"): "SchNet, MPEU; A100; 100k", ("19_01_2025.csv", "gpu_a100"):
             "SchNet, MPEU; A100; 2M", ("15_05_2025.csv", "gpu_a100"): "PaiNN; A100; 2M", ("30_12_2024.csv", "cpu"):
             "SchNet, MPEU; CPU; 100k", ("21_06_2025.csv", "cpu"): "PaiNN; CPU; 100k", ("19_01_2025.csv", "cpu"):
             "SchNet; CPU; 2M, complete runs"}
    strategies = ["dynamic", "static-64", "static-2^N"]
    alone, slowest = ({key: [] for key in names} for _ in range(2))
    for key, group in itertools.groupby(rows, key=lambda row: row[:5]):
        samples = {row[5]: row[6] for row in group}
        if len(samples) > 1:
            found = may_be_fastest(samples)
            alone[key[:2]].append(found[0] if len(found) == 1 else "several")
            slowest[key[:2]].append(max(samples, key=lambda name: statistics.mean(samples[name])))
    lines = []
    for key, name in names.items():
        n = len(alone[key])
        last = sorted(strategies, key=lambda of: -slowest[key].count(of))
        last = [f"{of} {slowest[key].count(of)}" for of in last if of in slowest[key]]
        last = ", ".join(last) if len(last) > 1 else f"{slowest[key][0]} in {n}"
        lines.append([name, str(n), *(str(alone[key].count(of)) for of in [*strategies, "several"]), last])
    return table(["runs", "comparisons", *strategies, "several", "slowest in the mean"], lines)


def t_tests(sql, which):
    """t and p of Welch's test on the final errors of each pair of strategies, except those without any spread."""
    rows = sql.execute(f"""
        select file, device, model, dataset, batch_size, batcher, list(value) from errors
        where subset = 'test' and step = n_step and is_usable and {which}
        group by all having count(distinct value) >= 2 order by all
    """).fetchall()
    tests = {}
    for key, group in itertools.groupby(rows, key=lambda row: row[:5]):
        for first, second in itertools.combinations(group, 2):
            difference, error, freedom = welch(first[6], second[6])
            t = difference / error
            tests[(*key, first[5], second[5])] = (t, 2 * student.sf(abs(t), freedom))
    return tests


def holm(p_values):
    """Holm's correction for multiple tests."""
    corrected, largest = {}, 0
    for i, (key, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        corrected[key] = largest = max(largest, p * (len(p_values) - i))
    return corrected


def shapes_after(program, n_step):
    """Distinct padded shapes of the study's strategies, planned from the sizes of its graphs."""
    counts = {}
    for data in ("qm9", "aflow"):
        command = [program, "plan", ROOT / f"configs/plan/{data}.toml", "--steps", str(n_step), "--json",
                   "batchers=dynamic,static-64,static-2^N"]
        for plan in json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["plans"]:
            for one in plan["strategies"]:
                counts[data, one["batch_size"], one["label"]] = one["shapes"]["n_shape"]
    return counts


def predicted(sql, program):
    """Predicts 2M-step A100 times from 100k steps: step times without compilation, plus the cost of more shapes."""
    rows = sql.execute("""
        select (model, dataset, batch_size), n_step, batcher, max(n_shape), avg(combined_mean), avg(combined_median)
        from runs where is_usable and device = 'gpu_a100' and model != 'painn' group by all order by all
    """).fetchall()
    short, long = ({(row[0], row[2]): row[3:] for row in rows if row[1] == n_step} for n_step in (100_000, 2_000_000))
    before, after = shapes_after(program, 100_000), shapes_after(program, 2_000_000)
    lines, everything = [], []
    for (model, data), settings in itertools.groupby(sorted({row[0] for row in rows}), key=lambda s: s[:2]):
        found = []
        for setting in settings:
            def gap(name):
                return short[setting, name][1] - short[setting, name][2]

            n_compiled = short[setting, "static-64"][0] - short[setting, "dynamic"][0]
            cost = (gap("static-64") - gap("dynamic")) * 100_000 / n_compiled
            names = [name for name in ("dynamic", "static-64", "static-2^N") if (setting, name) in long]
            forecast, old, new = {}, {}, {}
            for name in names:
                place = (*setting[1:], name)
                n_shape, old[name], _ = short[setting, name]
                more = n_shape * after[place] / before[place]
                forecast[name] = old[name] - cost * n_shape / 100_000 + cost * more / 2_000_000
                new[name] = long[setting, name][1]
            found.append((forecast, old, new))
        everything += found
        lines.append([f"{ {'schnet': 'SchNet', 'mpeu': 'MPEU'}[model]}, {data.upper()}", *agreement(found)])
    lines.append(["all", *agreement(everything)])
    return table(["", "comparisons", "order as after 100k steps", "order as predicted", "pairs", "as after 100k",
                  "as predicted", "pairs predicted wrongly differ by", "predicted time is off by"], lines)


def agreement(found):
    """How often orders and pairs agree with those of the long runs."""
    def order(times):
        return sorted(times, key=times.get)

    pairs = [(forecast[a] < forecast[b], old[a] < old[b], new[a] < new[b], abs(math.log(new[a] / new[b])))
             for forecast, old, new in found for a, b in itertools.combinations(new, 2)]
    wrong = [100 * math.expm1(apart) for guess, _, truth, apart in pairs if guess != truth]
    off = [100 * abs(math.log(forecast[name] / new[name])) for forecast, _, new in found for name in new]
    return [str(len(found)), str(sum(order(old) == order(new) for _, old, new in found)),
            str(sum(order(forecast) == order(new) for forecast, _, new in found)), str(len(pairs)),
            str(sum(old == truth for _, old, truth, _ in pairs)), str(sum(guess == truth for guess, _, truth, _ in pairs)),
            f"at most {max(wrong):.1f} %" if wrong else "–", f"at most {max(off):.1f} %"]


def check(sql):
    """Checks the figures in the text of the page."""
    of, one = means(sql), lambda query: sql.execute(query).fetchone()
    counts = {key: list(value[0]) for key, value in of.items()}
    for model in ("schnet", "mpeu"):
        assert counts[model, "qm9", 2_000_000, "static-64"] == [73, 103, 154, 238]
        assert counts[model, "qm9", 2_000_000, "static-2^N"] == [2, 3, 2, 0]
        assert counts[model, "aflow", 100_000, "static-64"] == [120, 173, 242, 341]
        assert counts[model, "aflow", 100_000, "static-2^N"] == [6, 5, 4, 3]
    assert counts["painn", "aflow", 2_000_000, "static-64"] == [175, 248, 358, 501]
    assert counts["painn", "aflow", 2_000_000, "static-2^N"] == [7, 6, 5, 4]
    assert one("select count(distinct n_shape), count(*) from (select distinct model, dataset, file, device, batcher, "
               "batch_size, n_shape from runs where is_usable) where batcher = 'dynamic' and n_shape != 1") == (0, 0)
    painn = one("""
        select round(1e3 * avg(combined_mean), 3), round(1e3 * avg(batching_mean), 3),
            round(1e3 * median(combined_median), 3), round(1e3 * median(batching_median), 3)
        from runs where is_usable and (model, dataset, batcher, batch_size, n_step)
            = ('painn', 'qm9', 'static-2^N', 128, 2000000)
    """)
    assert painn == (33.167, 2.600, 32.216, 2.496), painn
    assert one("select count(*), count(*) filter (is_mae) from errors "
               "where file = '19_01_2025.csv' and device = 'gpu_a100'") == (27_480, 2_426)
    assert sql.execute("select distinct dataset, batcher, batch_size, device from runs where is_back_filled").fetchall() \
        == [("aflow", "dynamic", 16, "gpu_a100")]
    raw, clean = t_tests(sql, "true"), t_tests(sql, "not is_mae")
    corrected = holm({key: p for key, (_, p) in clean.items()})
    raw, clean, corrected = ({key[2:]: test for key, test in tests.items() if key[:2] == ("19_01_2025.csv", "gpu_a100")}
                             for tests in (raw, clean, corrected))
    assert f"{min(corrected.values()):.2f}" == "0.09", corrected
    qm9 = ("schnet", "qm9", 64, "dynamic", "static-64")
    assert len(raw) == 44 and [key for key, (_, p) in raw.items() if p < LEVEL] == [qm9]
    assert [f"{number:.3f}" for number in raw[qm9]] == ["2.310", "0.039"], raw[qm9]
    p = {key: f"{test[1]:.3f}" for key, test in clean.items()}
    assert p[qm9] == "0.021" and p["schnet", "qm9", 128, "dynamic", "static-64"] == "0.005"
    assert p["schnet", "aflow", 64, "dynamic", "static-64"] == "0.031"
    assert p["schnet", "aflow", 64, "dynamic", "static-2^N"] == "0.001"
    between_static = min(p for key, (_, p) in clean.items() if key[3:] == ("static-2^N", "static-64"))
    assert f"{between_static:.2f}" == "0.10", between_static


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "../shared/data/study-csv")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/batchlab")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--query")
    options = parser.parse_args()
    sql = read(options.data)
    if options.query:
        print(sql.sql(options.query))
        return
    check(sql)
    before = PAGE.read_text()
    page.fill(PAGE, {"published": imported(sql), "figures": figures(sql), "fastest": fastest(sql),
                     "predicted": predicted(sql, options.program)})
    if options.check and PAGE.read_text() != before:
        PAGE.write_text(before)
        raise SystemExit(f"{PAGE}: the tables are others than those of the files; fill them with published.py")


if __name__ == "__main__":
    main()
