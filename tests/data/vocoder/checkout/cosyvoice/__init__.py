print("cosyvoice: a banner on standard output")
