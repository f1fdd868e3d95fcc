/* bench-road: the road's figures as bench rows, against goals.
 *
 *   bench-road [--messages N] [--no-failover] [--json]
 *
 * As demo-road, with 50 messages by each way. Exit 0 when every row is ok, 1 when not.
 */
#include "report.h"

#include "options.h"

int main(int argc, char **argv)
{
    struct options options;
    struct road *road = NULL;
    if (options_parse(argc, argv, 50, &options) != 0) {
        return 2;
    }
    if (options_measure(&options, &road) != 0) {
        return 1;
    }
    bool ok = report_bench(stdout, road, &options.road, options.json);
    options_free(&road);
    return ok ? 0 : 1;
}
