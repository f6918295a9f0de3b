/*
 * commands: every command, each defined in the file of its name.
 */
#pragma once

struct command;

extern const struct command command_apply;
extern const struct command command_capture;
extern const struct command command_check;
extern const struct command command_completion;
extern const struct command command_delete;
extern const struct command command_demo;
extern const struct command command_explain;
extern const struct command command_get;
extern const struct command command_proxy_status;
extern const struct command command_run;
extern const struct command command_stat;
extern const struct command command_validate;
extern const struct command command_version;
