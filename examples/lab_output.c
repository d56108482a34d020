#include "lab_output.h"

#include "cli.h"

#include <stdlib.h>
#include <string.h>

const char lab_output_help[] =
    "      --csv=FILE          write the table to FILE as comma-separated values, with more columns\n"
    "      --json=FILE         write it as JSON, with the settings\n"
    "      --plot=FILE         draw it with gnuplot: FILE.svg or FILE.png\n";

void lab_output_option(struct lab_output *o, int option, const char *value)
{
	if (option == LAB_CSV)
		o->csv_path = value;
	else if (option == LAB_JSON)
		o->json_path = value;
	else
		o->plot_path = value;
}

static void refuse_same(const char *option, const char *path, const char *other_option, const char *other_path)
{
	if (path != NULL && other_path != NULL && strcmp(path, other_path) == 0)
		cli_usage("%s and %s cannot both write to \"%s\"", option, other_option, path);
}

void lab_output_open(struct lab_output *o)
{
	refuse_same("--csv", o->csv_path, "--json", o->json_path);
	refuse_same("--csv", o->csv_path, "--plot", o->plot_path);
	refuse_same("--json", o->json_path, "--plot", o->plot_path);
	if (o->plot_path != NULL)
		lab_plot_check("--plot", o->plot_path);
	if (o->csv_path != NULL)
		lab_file_open(&o->csv, "--csv", o->csv_path);
	if (o->json_path != NULL)
		lab_file_open(&o->json, "--json", o->json_path);
	if (o->plot_path != NULL)
		lab_file_open(&o->plot, "--plot", o->plot_path);
}

static bool write_file(
    struct lab_file *file, const struct lab_report *report, void (*write)(const struct lab_report *, FILE *out))
{
	if (file->stream == NULL)
		return true;
	lab_file_begin(file);
	write(report, file->stream);
	return lab_file_end(file);
}

int lab_output_write(struct lab_output *o, const struct lab_report *report, const struct lab_plot *plot)
{
	bool well;

	lab_report_print(report, stdout);
	well = write_file(&o->csv, report, lab_report_csv);
	well &= write_file(&o->json, report, lab_report_json);
	well &= o->plot.stream == NULL || lab_plot_draw(plot, &o->plot);
	return cli_finish(well ? EXIT_SUCCESS : CLI_FAILED);
}
