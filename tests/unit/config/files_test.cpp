// Every configuration in the tree: the examples load, the broken ones say what they promise.
#include <sstream>

#include "support.hpp"

namespace larder::config {

TEST_CASE("every example loads without an error or a warning")
{
    int files_count = 0;
    for (const char* folder : {"deploy/examples", "config/examples"}) {
        for (const auto& path : files_in(folder)) {
            CAPTURE(path.string());
            const Loaded loaded = load_file(path.string(), environment_of({}));
            INFO(all_messages(loaded));
            CHECK(loaded.config != nullptr);
            CHECK(loaded.messages.empty());
            ++files_count;
        }
    }
    CHECK(files_count >= 8);
}

TEST_CASE("every broken configuration gives the messages that its first lines announce")
{
    const std::string announce = "# expect: ";
    for (const auto& path : files_in("tests/config_broken")) {
        CAPTURE(path.string());
        const Loaded loaded = load_file(path.string(), environment_of({}));
        CHECK(loaded.config == nullptr);
        const std::string messages = all_messages(loaded);
        CAPTURE(messages);

        std::istringstream lines(read_all(path));
        int announced_count = 0;
        for (std::string line; std::getline(lines, line) && line.starts_with("#");) {
            if (!line.starts_with(announce)) continue;
            const std::string expected = line.substr(announce.size());
            CAPTURE(expected);
            // An announcement that begins with a number begins with the place, and nothing stands before it.
            const bool has_place = expected.find_first_not_of("0123456789") != 0;
            CHECK(contains(messages, has_place ? "f:" + expected : expected));
            ++announced_count;
        }
        CHECK(announced_count > 0);
    }
}

TEST_CASE("a file that cannot be read is an error without a place")
{
    const Loaded missing = load_file("/no/such/file.yaml", environment_of({}));
    CHECK(missing.config == nullptr);
    REQUIRE(missing.messages.size() == 1);
    CHECK(missing.messages[0].to_string("f") == "f:0:0: the file cannot be read: there is no such file");
    const Loaded folder = load_file("/", environment_of({}));
    REQUIRE(folder.messages.size() == 1);
    CHECK(contains(folder.messages[0].text, "it is a folder"));
}

}  // namespace larder::config
