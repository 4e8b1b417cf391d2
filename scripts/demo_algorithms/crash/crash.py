rows = 0
print("mean of nothing:", 1 / rows)
