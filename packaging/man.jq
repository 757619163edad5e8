# The manual pages of section 1, from what `shortfuse --experimental-dump-help` prints: an object of
# file names and texts. Needs $date and $version.

def escape: gsub("\\\\"; "\\e") | gsub("-"; "\\-") | sub("^(?<c>[.'])"; "\\&\(.c)");

# Text as `--help` has it: indented lines stay as they are, others are paragraphs.
def body:
    [split("\n")[] | {pre: startswith("  "), text: .}]
    | reduce .[] as $line ({out: [], pre: false};
        if $line.text == "" then
            .out += (if .pre then [".fi"] else [] end) + [".PP"] | .pre = false
        elif $line.pre and (.pre | not) then .out += [".nf", ($line.text | escape)] | .pre = true
        elif ($line.pre | not) and .pre then
            .out += [".fi", ".PP", ($line.text | escape)] | .pre = false
        else .out += [$line.text | escape] end)
    | .out + (if .pre then [".fi"] else [] end);

def name: if .kind == "short" then "-\(.name)" else "--\(.name)" end;

# An option with its value, in bold and italics.
def tag:
    . as $argument
    | if .kind == "positional" then "\\fI\(.valueName | escape)\\fR"
      else
        [.names[] | "\\fB\(name | escape)\\fR"] | join(", ")
        | . + (if $argument.kind == "option" then " \\fI\($argument.valueName | escape)\\fR" else "" end)
      end;

def shown: [.arguments // [] | .[] | select(.shouldDisplay)];

def synopsis($words):
    "\\fB\($words | escape)\\fR"
    + (if .subcommands then " \\fIcommand\\fR [\\fIarguments\\fR]" else "" end)
    + (if [shown[] | select(.kind != "positional")] != [] and (.subcommands | not) then " [\\fIoptions\\fR]" else "" end)
    + ([shown[] | select(.kind == "positional")
        | tag + (if .isRepeating then "..." else "" end)
        | if . == "" then empty else . end] | map(" " + .) | join(""));

def arguments($kinds; $title):
    [shown[] | select(.kind as $kind | $kinds | index($kind))
        | [".TP", tag, (.abstract // "" | escape)
            + (if .defaultValue then " (default: \(.defaultValue | escape))" else "" end)]]
    | if . == [] then [] else [".SH " + $title] + add end;

def page($page; $words; $rest):
    [ ".TH \"\($page | ascii_upcase)\" 1 \"\($date)\" \"shortfuse \($version)\" \"User Commands\"",
      ".SH NAME", "\($page | escape) \\- \(.abstract | rtrimstr(".") | escape)",
      ".SH SYNOPSIS", synopsis($words) ]
    + (if .discussion then [".SH DESCRIPTION"] + (.discussion | body) else [] end)
    + arguments(["positional"]; "ARGUMENTS")
    + arguments(["flag", "option"]; "OPTIONS")
    + $rest
    # A paragraph just before a heading is empty.
    | join("\n") | gsub("\n\\.PP(?=\n\\.(SH|PP|fi))"; "") + "\n";

def see($pages):
    [".SH \"SEE ALSO\""]
    + [$pages[:-1][] | ".BR \(.[0] | escape) (\(.[1])),"]
    + [$pages[-1] | ".BR \(.[0] | escape) (\(.[1]))"];

.command as $root
| [$root.subcommands[] | select(.shouldDisplay and .commandName != "help")] as $commands
| ($commands | map(["shortfuse-" + .commandName, 1])) as $pages
| [["mount.shortfuse", 8], ["mount", 8], ["fuse", 4]] as $more
| { "shortfuse.1": ($root | page("shortfuse"; "shortfuse";
      [".SH COMMANDS"]
      + [$commands[] | ".TP", ".BR shortfuse\\-\(.commandName | escape) (1)", (.abstract | escape)]
      + see($pages + $more))) }
  + ($commands | map({
      ("shortfuse-\(.commandName).1"):
        page("shortfuse-" + .commandName; "shortfuse " + .commandName; see([["shortfuse", 1]] + $more))
    }) | add)
