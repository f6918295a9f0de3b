/*
 * commands: every command, each defined in the file of its name.
 */
#pragma once

struct command;

extern const struct command command_capture;
extern const struct command command_completion;
extern const struct command command_version;
