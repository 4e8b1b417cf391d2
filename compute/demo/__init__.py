"""The market that `steelyard up --demo` opens: five providers with real data, their nodes, a buyer, jobs, models.

fields: what each provider offers. tables: the data, out of installed packages. people: homes and commands.
fill: from an empty market, or a half-filled one, to the whole.
"""
