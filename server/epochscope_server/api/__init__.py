"""HTTP, one file a noun: a route checks what is asked, reads the store, and answers."""
