/*
 * completion: what may stand next on a command line, for the shells' completion scripts.
 *
 * The scripts ask `tulle __complete WORD...`, the last word being the one under the cursor, and show the lines of its
 * answer; the line ":files" stands for names of files.
 */
#pragma once

/* The words after __complete; returns an exit code. */
int completion_answer(int argc, char **argv);
