#include "rules/key/groups.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "rules/pattern/pattern.hpp"

using namespace larder::rules;

namespace {

using Names = std::vector<std::string>;

/// Fields that own their texts.
struct Response {
    using Lines = std::vector<std::pair<std::string, std::string>>;
    explicit Response(Lines given) : lines(std::move(given))
    {
        for (const auto& [name, value] : lines) fields.all.push_back({name, value, field_id(name)});
    }
    Lines lines;
    Fields fields;
};

}  // namespace

TEST_CASE("Cache-Groups is a list of strings, and a group belongs to one origin (RFC 9875 section 2)")
{
    const Response response({{"Cache-Groups", R"("sale", "a b")"}, {"cache-groups", R"("sale")"}});
    CHECK(groups_of(response.fields, "Shop.test:80", false) ==
          Names{"{group}shop.test:sale", "{group}shop.test:a%20b"});
    CHECK(groups_of(response.fields, "other.test", false)[0] == "{group}other.test:sale");
    CHECK(groups_of(response.fields, "shop.test", false) == groups_of(response.fields, "SHOP.test", true));
}

TEST_CASE("the names of groups differ in case, and no character of theirs is a wildcard")
{
    const Response response(Response::Lines{{"Cache-Groups", R"("a*", "A*", "a?", "a\\", "a:b", "{tag}x")"}});
    const Names names = groups_of(response.fields, "h", false);
    REQUIRE(names.size() == 6);
    for (const std::string& name : names) {
        CAPTURE(name);
        CHECK(is_exact(name));
        CHECK(unescape(name) == name);
    }
    CHECK(names[0] == "{group}h:a%2A");
    CHECK(names[5] == "{group}h:%7Btag%7Dx");
}

TEST_CASE("a Cache-Groups that is no list of strings says nothing")
{
    for (const char* value : {"sale", R"("a", b)", R"("a",)", R"(("a" "b"))", "1", ""}) {
        CAPTURE(value);
        CHECK(groups_of(Response(Response::Lines{{"Cache-Groups", value}}).fields, "h", false).empty());
    }
    // Parameters have no meaning yet and are ignored.
    CHECK(groups_of(Response(Response::Lines{{"Cache-Groups", R"("a";x=1)"}}).fields, "h", false) ==
          Names{"{group}h:a"});
}

TEST_CASE("tags stand between spaces or commas, in three fields, and count where the rule wants them")
{
    const Response response({{"Surrogate-Key", "p-7  all"}, {"Cache-Tag", "p-7,home, x"}, {"xkey", "y\tz"}});
    CHECK(groups_of(response.fields, "h", false).empty());
    CHECK(groups_of(response.fields, "h", true) ==
          Names{"{tag}p-7", "{tag}all", "{tag}home", "{tag}x", "{tag}y", "{tag}z"});
    CHECK(tag_name("p-7") == "{tag}p-7");
    CHECK(is_tag_name(tag_name("")));
    CHECK_FALSE(is_tag_name("{group}h:x"));
}

TEST_CASE("a write voids the groups that its response names, each once")
{
    const Response response({{"Cache-Group-Invalidation", R"("sale", "sale", "b")"}, {"Cache-Tag", "t"}});
    std::vector<PurgeTarget> targets = {{"{group}h:b", false, false}};
    append_group_targets(targets, response.fields, "h", false);
    REQUIRE(targets.size() == 2);
    CHECK(targets[1].text == "{group}h:sale");
    CHECK_FALSE(targets[1].exact);
    append_group_targets(targets, response.fields, "h", true);
    REQUIRE(targets.size() == 3);
    CHECK(targets[2].text == "{tag}t");
}
