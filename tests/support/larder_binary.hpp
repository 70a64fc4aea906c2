// The built binary itself: which one it is, and runs of it to the end.
#pragma once

#include <string>
#include <vector>

namespace larder::tests {

/// The binary of this build, or the one that LARDER_TEST_BINARY names.
std::string larder_binary();

/// What a run to the end gave.
struct Finished {
    int exit_code = 0;
    std::string standard_output, standard_error;
};

/// Runs `larder` with these arguments to its end.
Finished run_larder(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {});

}  // namespace larder::tests
