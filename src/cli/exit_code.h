/*
 * exit_code: what `tulle` returns to the shell; documented in docs/reference/cli.md and tested.
 */
#pragma once

enum exit_code {
    EXIT_GOOD = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 64,         /* EX_USAGE: the command line */
    EXIT_BAD_INPUT = 65,     /* EX_DATAERR: a file that cannot be read as what it should be */
    EXIT_UNREACHABLE = 69,   /* EX_UNAVAILABLE: no control plane */
    EXIT_NOT_PERMITTED = 77, /* EX_NOPERM */
    EXIT_FINDINGS = 79,      /* something at or above the threshold, in every output format */
    EXIT_TIMED_OUT = 124,
    EXIT_INTERRUPTED = 130,
};
