#include "config/nearest.hpp"

#include "support.hpp"

namespace larder::config {

TEST_CASE("the nearest name is found through typing mistakes and not through other words")
{
    const std::vector<std::string_view> known{"ttl", "match", "purge", "stale_if_error", "upstream"};
    struct Row {
        const char* typed;
        const char* want;
    };
    const Row rows[] = {{"tll", "ttl"},
                        {"ttls", "ttl"},
                        {"mtach", "match"},
                        {"Purge", "purge"},
                        {"stale-if-error", "stale_if_error"},
                        {"upstraem", "upstream"},
                        {"backend", ""},
                        {"", ""},
                        {"xyz", ""}};
    for (const Row& row : rows) {
        CAPTURE(row.typed);
        CHECK(nearest(row.typed, known) == row.want);
    }
    CHECK(suggestion("backend", known) == "; known here: ttl, match, purge, stale_if_error, upstream");
}

}  // namespace larder::config
