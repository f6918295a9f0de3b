/* The tree of `tulle`: a command that is not listed here does not exist. */
#include "cli/commands.h"

#include "cli/command.h"

const struct command *const commands[] = {
    &command_demo,    &command_run,        &command_apply,   &command_delete, &command_get,
    &command_explain, &command_validate,   &command_stat,    &command_check,  &command_proxy_status,
    &command_capture, &command_completion, &command_version,
};
const size_t command_count = COUNT(commands);
