"""What a provider runs beside the data: publishing it, judging requests, running jobs, releasing outputs."""
