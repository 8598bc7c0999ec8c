//! What must still be true after a process, the database or the message server dies at a bad moment.
