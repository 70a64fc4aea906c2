// The command line: arguments to configuration to App, and the subcommands that only look at a configuration.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "config/addresses.hpp"
#include "config/load.hpp"
#include "config/quantities.hpp"
#include "config/report.hpp"
#include "config/value_types.hpp"
#include "proxy/admin/admin_client.hpp"
#include "proxy/app.hpp"
#include "proxy/purge_command.hpp"
#include "proxy/redis/acl.hpp"
#include "rules/base/text.hpp"
#include "rules/explain/explain.hpp"

namespace larder::proxy {

namespace {

enum ExitCode { exit_ok = 0, exit_configuration = 1, exit_usage = 2, exit_start = 3 };

// A top-level option of the configuration that can stand on the command line instead of in a file.
struct Flag {
    const char* flag;
    const char* option;
    const char* value;
    const char* help;
};

constexpr Flag flags[] = {
    {"--upstream", "upstream", "URL", "the app server: http://HOST:PORT, https://HOST or unix:/PATH"},
    {"--listen", "listen", "ADDRESS", "where clients come; default 0.0.0.0:8080, \":PORT\" is every address"},
    {"--admin", "admin", "ADDRESS", "probes, metrics and explain, such as 127.0.0.1:9090; without it there are none"},
    {"--namespace", "namespace", "NAME", "first part of every key in the store; default larder"},
    {"--store", "store", "URL",
     "redis://HOST:PORT/DB, redis+sentinel://..., redis+cluster://...; default: in this process"},
    {"--memory", "memory", "SIZE", "size of the in-process store; default 64MiB"},
    {"--max-object", "max_object", "SIZE", "larger bodies are passed on without being stored; default 1MiB"},
    {"--workers", "workers", "N", "threads; default: one per core"},
    {"--trust", "trust", "DURATION", "how long a memory hit needs no look at the purge log; default 0ms"},
    {"--cache", "cache", "MODE", "respect-origin (default without a file) or off"},
    {"--trusted-proxies", "trusted_proxies", "NETWORK", "whose X-Forwarded-* are kept"},
    {"--tracing", "tracing", "URL", "the OpenTelemetry collector, such as http://127.0.0.1:4318; default: none"},
    {"--log-level", "log.level", "LEVEL", "debug, info (default), warn or error"},
    {"--log-format", "log.format", "FORMAT", "text (default) or json"},
    {"--log-access", "log.access", "WHICH", "one line per request: off (default), all, or one in N"},
};

constexpr const char* examples = R"(Examples:
  larder --upstream http://127.0.0.1:3000 --listen :8080
      cache in front of an app server what its own headers allow
  larder --config larder.yaml
      serve by the rules of a file
  larder check larder.yaml
      find mistakes before they are served; exit 0 when there are no errors. --strict: and nothing doubtful either;
      --format json or sarif: for other programs
  larder explain larder.yaml GET '/api/events?page=2' -H 'Cookie: sid=1'
      which rule, which key, and why a request is not answered from the cache
  larder purge --config larder.yaml --key event:42 --pattern 'events:list:*' --dry-run
      what a purge by hand would reach; without --dry-run it is made, in every replica of the namespace
  larder drain --config larder.yaml --wait 5s
      before it is stopped: readiness fails and answers end their connections, for load balancers to move over
  larder reload --config larder.yaml
      read the file anew, without losing a request; a bad file is refused and the one before stays
  larder switch --config larder.yaml --cache off --rule event
      pass the requests of a rule by until it is switched on again
  larder acl --namespace shop
      the Redis user that Larder needs, as a command for redis-cli; replace PASSWORD first

Exit codes: 0 stopped cleanly or done, 1 error in the configuration (check --strict: anything found) or not purged,
2 error in the command line, 3 could not start.
LARDER_CACHE=off in the environment makes Larder pass everything on; writes still purge.)";

void print(std::FILE* to, const std::string& text)
{
    std::fwrite(text.data(), 1, text.size(), to);
    if (text.empty() || text.back() != '\n') std::fputc('\n', to);
}

int usage_error(const std::string& text)
{
    print(stderr, "larder: " + text + "\nRun larder --help for more information.");
    return exit_usage;
}

// The configuration of `file`; when there is none, what is wrong with it stands on stderr.
config::ConfigPtr load(const std::string& file)
{
    config::Loaded loaded = config::load_file(file, config::process_environment());
    if (!loaded.config)
        for (const config::Message& message : loaded.messages)
            if (message.severity == config::Severity::error) print(stderr, message.to_string(file));
    return loaded.config;
}

int run_check(const std::vector<std::string>& files, const std::string& format_name, bool strict)
{
    const auto format = config::report_format_of(format_name);
    if (!format) return usage_error("--format wants text, json or sarif, not \"" + format_name + "\"");
    std::vector<config::CheckedFile> checked;
    for (const std::string& file : files)
        checked.push_back({file, config::load_file(file, config::process_environment()).messages});
    std::error_code ec;
    print(stdout, config::write_report(*format, checked, std::filesystem::current_path(ec).string()));
    const config::FindingCounts counts = config::count_findings(checked);
    const bool fails = counts.errors > 0 || (strict && counts.warnings + counts.notes > 0);
    return fails ? exit_configuration : exit_ok;
}

int run_explain(const std::string& file, const std::string& method, const std::string& url,
                const std::vector<std::string>& header_lines, const std::string& format)
{
    if (format != "text" && format != "json") return usage_error("--format wants text or json, not \"" + format + "\"");
    if (!rules::is_token(method)) return usage_error("\"" + method + "\" is not a method");
    std::vector<std::pair<std::string, std::string>> headers;
    for (const std::string& line : header_lines) {
        const std::string_view view = line;
        const auto colon = view.find(':');
        if (colon == std::string_view::npos || !rules::is_token(view.substr(0, colon)))
            return usage_error("-H wants 'Name: value', not '" + line + "'");
        headers.emplace_back(view.substr(0, colon), rules::trim(view.substr(colon + 1)));
    }
    const config::ConfigPtr config = load(file);
    if (!config) return exit_configuration;
    const rules::Rulebook book{config->rules, *config->matcher, config->cache, config->client_cache_control};
    const rules::Explanation told = rules::explain(book, method, url, headers);
    print(stdout, format == "json" ? rules::to_json(told) : rules::to_text(told));
    return exit_ok;
}

int run_acl(const std::string& file, std::string prefix, const std::string& user, bool of_sentinels)
{
    if (!file.empty() && !prefix.empty()) return usage_error("acl wants a FILE or --namespace NAME, not both");
    if (prefix.empty()) prefix = config::Config{}.namespace_;
    if (!config::is_name(prefix)) return usage_error("--namespace wants 1 to 64 letters, digits, . _ -");
    if (!file.empty()) {
        const config::ConfigPtr config = load(file);
        if (!config) return exit_configuration;
        prefix = config->namespace_;
    }
    print(stdout, of_sentinels ? sentinel_acl_text(user) : acl_text(prefix, user));
    return exit_ok;
}

// Where the running Larder listens for operators, by its configuration.
config::Endpoint admin_of(const std::string& file, std::string& token, std::string& why_not)
{
    const config::ConfigPtr config = load(file);
    if (!config) return why_not = file + " has errors", config::Endpoint{};
    token = config->admin_token;
    if (!config->admin)
        return why_not = file + " has no admin: address, so nobody can purge by hand", config::Endpoint{};
    if (config->admin->unix_path.empty() && config->admin->port == 0)
        why_not = file + " lets the system choose the admin port; say --admin HOST:PORT, as its log does";
    return *config->admin;
}

/// How a command finds a running Larder: what the command line says, and what follows from it.
struct AdminOptions {
    std::string address, file, token_file;
    config::Endpoint endpoint;
    std::string token;

    void add_to(CLI::App& command)
    {
        command.add_option("--admin", address, "its admin address")->type_name("HOST:PORT");
        command.add_option("--token-file", token_file, "file with its admin token; with --config it is known")
            ->type_name("FILE");
        command.add_option("--config", file, "its configuration file, which names that address")->type_name("FILE");
    }
    /// exit_ok, or what the process shall end with: the reason has been printed.
    int resolve(const std::string& command)
    {
        if (address.empty() == file.empty()) return usage_error(command + " wants --admin HOST:PORT or --config FILE");
        if (!address.empty()) {
            const auto read = config::read_endpoint(address);
            if (const auto* wrong = std::get_if<std::string>(&read)) return usage_error("--admin: " + *wrong);
            endpoint = std::get<config::Endpoint>(read);
        } else {
            std::string why_not;
            endpoint = admin_of(file, token, why_not);
            if (!why_not.empty()) return print(stderr, "larder: " + why_not), exit_configuration;
        }
        if (token_file.empty()) return exit_ok;
        std::ifstream lines(token_file);
        if (!std::getline(lines, token) || token.empty())
            return usage_error("--token-file: " + token_file + " cannot be read, or its first line is empty");
        return exit_ok;
    }
};

int run_purge(AdminOptions admin, PurgeCommand command)
{
    if (command.keys.empty() && command.patterns.empty() && command.tags.empty() && command.rule.empty())
        return usage_error("purge wants at least one --key, --pattern, --tag or --rule");
    if (const int failed = admin.resolve("purge"); failed != exit_ok) return failed;
    command.token = admin.token;
    const PurgeTold told = run_purge_command(admin.endpoint, command);
    print(told.done ? stdout : stderr, told.done ? told.text : "larder: " + told.text);
    return told.done ? exit_ok : exit_configuration;
}

int run_drain(AdminOptions admin, const std::string& wait)
{
    const auto patience = config::read_duration(wait);
    if (const auto* wrong = std::get_if<std::string>(&patience)) return usage_error("--wait: " + *wrong);
    if (const int failed = admin.resolve("drain"); failed != exit_ok) return failed;
    const AdminReply reply = post_to_admin(admin.endpoint, "/drain", "", admin.token);
    if (reply.status != 200) {
        print(stderr, "larder: " + admin.endpoint.to_string() + ": " +
                          (reply.status == 0 ? reply.error : std::to_string(reply.status) + " " + reply.body));
        return exit_configuration;
    }
    std::this_thread::sleep_for(std::get<rules::Milliseconds>(patience));
    print(stdout, "draining");
    return exit_ok;
}

/// The answer's text, or what has gone wrong.
int tell_reply(const AdminOptions& admin, const AdminReply& reply)
{
    if (reply.status == 200) return print(stdout, reply.body), exit_ok;
    std::string why = reply.error;
    if (reply.status != 0) {
        boost::system::error_code ec;
        const boost::json::value problem = boost::json::parse(reply.body, ec);
        const boost::json::value* detail =
            !ec && problem.is_object() ? problem.get_object().if_contains("detail") : nullptr;
        why = detail && detail->is_string() ? std::string(detail->get_string())
                                            : std::to_string(reply.status) + " " + reply.body;
    }
    print(stderr, "larder: " + admin.endpoint.to_string() + ": " + why);
    return exit_configuration;
}

int run_reload(AdminOptions admin)
{
    if (const int failed = admin.resolve("reload"); failed != exit_ok) return failed;
    return tell_reply(admin, post_to_admin(admin.endpoint, "/-/reload", "", admin.token));
}

struct SwitchCommand {
    std::string cache, rule, log_level, log_access, verify;
};

int run_switch(AdminOptions admin, const SwitchCommand& command)
{
    if (const int failed = admin.resolve("switch"); failed != exit_ok) return failed;
    boost::json::object order;
    if (!command.cache.empty()) order["cache"] = command.cache;
    if (!command.rule.empty()) order["rule"] = command.rule;
    const auto sampled = [&order](const char* name, const std::string& value) {
        if (!value.empty()) order[name] = value == "reset" ? boost::json::value(nullptr) : boost::json::value(value);
    };
    sampled("log_level", command.log_level);
    sampled("log_access", command.log_access);
    sampled("verify", command.verify);
    return tell_reply(admin, post_to_admin(admin.endpoint, "/switches", boost::json::serialize(order), admin.token));
}

int run_serve(const std::string& file, const std::vector<std::pair<std::string, std::string>>& given)
{
    const auto read = [file, given](const config::Running& running) {
        return file.empty() ? config::load_flags(given, config::process_environment(), running)
                            : config::load_file(file, config::process_environment(), running);
    };
    config::Loaded loaded = read({});
    const std::string before = file.empty() ? "larder: " : "";
    for (const config::Message& message : loaded.messages)
        if (message.severity != config::Severity::note) print(stderr, before + message.to_string(file));
    if (!loaded.config) return exit_configuration;
    try {
        App app{std::move(loaded), read};
        return app.run();
    } catch (const std::exception& failure) {
        print(stderr, std::string{"larder: cannot start: "} + failure.what());
        return exit_start;
    }
}

int run_command_line(int argc, char** argv)
{
    CLI::App cli{"Larder: a caching reverse proxy that stands beside one app server.", "larder"};
    cli.set_version_flag("--version", "larder " LARDER_VERSION);
    cli.footer(examples);
    cli.require_subcommand(0, 1);

    std::string config_file;
    cli.add_option("--config", config_file, "serve by this configuration file")->type_name("FILE");
    constexpr std::size_t flags_count = std::size(flags);
    std::vector<std::string> values(flags_count);
    std::vector<CLI::Option*> options;
    for (std::size_t i = 0; i < flags_count; ++i)
        options.push_back(cli.add_option(flags[i].flag, values[i], flags[i].help)
                              ->type_name(flags[i].value)
                              ->group("Without a file"));

    std::vector<std::string> check_files;
    CLI::App* check = cli.add_subcommand("check", "Find errors and doubtful places in configuration files");
    check->add_option("FILE", check_files, "configuration files")->required()->type_name("");
    std::string check_format = "text";
    check->add_option("--format", check_format, "text (default), json, or sarif for code scanning")
        ->type_name("FORMAT");
    bool check_strict = false;
    check->add_flag("--strict", check_strict, "warnings and notes fail, too");
    check->footer(
        "Exit codes: 0 no errors (with --strict: nothing found), 1 errors, 2 error in the command line.\n"
        "What is meant is silenced in its rule: ignore_lint: [ID]");

    std::string explain_file, explain_method, explain_url;
    std::vector<std::string> explain_headers;
    CLI::App* explain = cli.add_subcommand("explain", "Say what would happen to a request, and why");
    explain->add_option("FILE", explain_file, "configuration file")->required()->type_name("");
    explain->add_option("METHOD", explain_method, "such as GET")->required()->type_name("");
    explain->add_option("URL", explain_url, "/path?query or http://host/path")->required()->type_name("");
    std::string explain_format = "text";
    explain->add_option("--format", explain_format, "text (default) or json")->type_name("FORMAT");
    explain->add_option("-H,--header", explain_headers, "a header field of the request: 'Name: value'; repeat it")
        ->type_name("FIELD")
        ->expected(1)
        ->take_all();

    AdminOptions purge_admin;
    PurgeCommand purge_command;
    CLI::App* purge = cli.add_subcommand("purge", "Purge by hand, through the admin port of a running Larder");
    purge_admin.add_to(*purge);
    purge->add_option("--key", purge_command.keys, "one exact key, such as event:42; repeat it")
        ->type_name("K")
        ->expected(1)
        ->take_all();
    purge->add_option("--pattern", purge_command.patterns, "keys by * and ?, such as 'events:list:*'; repeat it")
        ->type_name("P")
        ->expected(1)
        ->take_all();
    purge->add_option("--tag", purge_command.tags, "responses with this tag, of rules with tags: response; repeat it")
        ->type_name("T")
        ->expected(1)
        ->take_all();
    purge->add_option("--rule", purge_command.rule, "all keys that this cache rule can make")->type_name("NAME");
    purge->add_flag("--dry-run", purge_command.dry_run, "purge nothing; say which rules' keys would be reached");

    AdminOptions drain_admin;
    std::string drain_wait = "0ms";
    CLI::App* drain =
        cli.add_subcommand("drain", "Tell a running Larder that it will be stopped: it is not ready any more");
    drain_admin.add_to(*drain);
    drain->add_option("--wait", drain_wait, "then wait, for load balancers to notice; default 0ms")
        ->type_name("DURATION");

    AdminOptions reload_admin;
    CLI::App* reload = cli.add_subcommand("reload", "Tell a running Larder to read its configuration file anew");
    reload_admin.add_to(*reload);

    AdminOptions switch_admin;
    SwitchCommand switch_command;
    CLI::App* switches = cli.add_subcommand(
        "switch", "Turn the cache or the log of a running Larder; holds over reloads, until it is turned back");
    switch_admin.add_to(*switches);
    switches->add_option("--cache", switch_command.cache, "off: everything passes by, and writes still purge; on")
        ->type_name("on|off");
    switches->add_option("--rule", switch_command.rule, "of this cache rule alone; with --cache")->type_name("NAME");
    switches->add_option("--log-level", switch_command.log_level, "debug, info, warn, error; reset: as the file says")
        ->type_name("LEVEL");
    switches
        ->add_option("--log-access", switch_command.log_access, "off, all, one in N as 1/N; reset: as the file says")
        ->type_name("WHICH");

    switches
        ->add_option("--verify", switch_command.verify,
                     "hits that are held against what the app answers now: off, all, one in N as 1/N; reset")
        ->type_name("WHICH");

    std::string acl_file, acl_namespace, acl_user = "larder";
    CLI::App* acl = cli.add_subcommand("acl", "Print the Redis user that Larder needs, and no more");
    acl->add_option("FILE", acl_file, "configuration file that names the namespace")->type_name("");
    acl->add_option("--namespace", acl_namespace, "the namespace, instead of a file; default larder")
        ->type_name("NAME");
    acl->add_option("--user", acl_user, "name of the Redis user; default larder")->type_name("NAME");
    bool acl_of_sentinels = false;
    acl->add_flag("--sentinel", acl_of_sentinels, "the user for the sentinels themselves (store.sentinel_user)");

    CLI::App* schema = cli.add_subcommand("schema", "Print the JSON Schema of the configuration file, for editors");
    CLI::App* options_command = cli.add_subcommand("options", "Print the reference of all options as Markdown");

    try {
        cli.parse(argc, argv);
    } catch (const CLI::ParseError& stopped) {
        // Also how --help and --version end, with 0.
        return cli.exit(stopped) == 0 ? exit_ok : exit_usage;
    }

    std::vector<std::pair<std::string, std::string>> given;
    for (std::size_t i = 0; i < flags_count; ++i) {
        if (options[i]->count() == 0) continue;
        if (!config_file.empty())
            return usage_error(std::string{flags[i].flag} + " cannot stand beside --config: write " + flags[i].option +
                               " into " + config_file);
        given.emplace_back(flags[i].option, values[i]);
    }
    if (!cli.get_subcommands().empty() && (!config_file.empty() || !given.empty()))
        return usage_error("options for serving cannot stand before a subcommand");

    if (check->parsed()) return run_check(check_files, check_format, check_strict);
    if (explain->parsed())
        return run_explain(explain_file, explain_method, explain_url, explain_headers, explain_format);
    if (purge->parsed()) return run_purge(purge_admin, purge_command);
    if (drain->parsed()) return run_drain(drain_admin, drain_wait);
    if (reload->parsed()) return run_reload(reload_admin);
    if (switches->parsed()) return run_switch(switch_admin, switch_command);
    if (acl->parsed()) return run_acl(acl_file, acl_namespace, acl_user, acl_of_sentinels);
    if (schema->parsed()) return print(stdout, config::json_schema()), exit_ok;
    if (options_command->parsed()) return print(stdout, config::options_markdown()), exit_ok;
    if (config_file.empty() && given.empty()) return usage_error("say --config FILE, or at least --upstream URL");
    return run_serve(config_file, given);
}

}  // namespace

}  // namespace larder::proxy

/// Read by jemalloc, which a release is linked with; `MALLOC_CONF` in the environment wins over it. What entries of
/// another size have left goes back to the system within a second instead of ten: `memory` is what people size a
/// container by. Blocks of up to 512 KiB instead of 32 are kept for the next on their thread: a large body costs less
/// so.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "dirty_decay_ms:1000,muzzy_decay_ms:0,lg_tcache_max:19";
}

int main(int argc, char** argv)
{
    try {
        return larder::proxy::run_command_line(argc, argv);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "larder: %s\n", failure.what());
        return larder::proxy::exit_start;
    }
}
