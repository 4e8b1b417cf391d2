import json
import os

import pandas as pd

dataset = json.loads(os.environ["DIDS"])[0]
target = json.load(open("data/inputs/algoCustomData.json"))["target"]
table = pd.read_csv(f"data/inputs/{dataset}/0")
means = table.groupby(table[target].astype(str)).mean(numeric_only=True).round(3)
rows = table[target].astype(str).value_counts()
json.dump({"rows": rows.to_dict(), "means": means.to_dict()}, open("data/outputs/profile.json", "w"))
