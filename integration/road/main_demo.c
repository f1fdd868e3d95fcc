/* demo-road: measures the deployed lab's road and shows it as the table of ./demo.
 *
 *   demo-road [--messages N] [--no-failover] [--json]
 *
 * Needs the lab up and deployed, and root. N messages by each way, 10 when not given.
 * edge1 is powered off and on again unless --no-failover. Exit 0 when every address is
 * the true one and every message arrived, 1 when not, 2 usage. */
#include "report.h"

#include "options.h"

int main(int argc, char **argv)
{
    struct options options;
    struct road *road = NULL;
    if (options_parse(argc, argv, 10, &options) != 0) {
        return 2;
    }
    if (options_measure(&options, &road) != 0) {
        return 1;
    }
    if (options.json) {
        report_json(stdout, road, &options.road);
    } else {
        report_table(stdout, road, &options.road);
    }
    bool ok = road_ok(road, &options.road);
    options_free(&road);
    return ok ? 0 : 1;
}
