#include "tests/support/larder_binary.hpp"

#include <cstdlib>

#include "tests/support/child_process.hpp"

namespace larder::tests {

std::string larder_binary()
{
    const char* other = std::getenv("LARDER_TEST_BINARY");
    return other ? other : LARDER_BINARY;
}

Finished run_larder(const std::vector<std::string>& arguments, const std::vector<std::string>& environment)
{
    std::vector<std::string> all{larder_binary()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    ChildProcess process(all, environment);
    const int exit_code = process.wait_for_exit();
    return {exit_code, process.standard_output(), process.standard_error()};
}

}  // namespace larder::tests
