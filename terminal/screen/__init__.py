"""The cashier's screen: a Textual app on the main thread, beside the till's loop in a thread of its own.

What is shown is decided purely (`view`, `bars`, `panel`), and what is pressed (`entry`); `app` draws and passes on.
"""
