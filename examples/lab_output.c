#include "lab_output.h"

#include "cli.h"

#include <stdlib.h>
#include <string.h>

const char lab_output_help[] = "      --csv=FILE          write the table to FILE as comma-separated values\n"
			       "      --json=FILE         write it as JSON, with the settings\n"
			       "      --plot=FILE         draw it with gnuplot: FILE.svg or FILE.png\n";

static const char *const options[LAB_OUTPUTS] = {"--csv", "--json", "--plot"};

static struct lab_file *file_of(struct lab_output *o, int option)
{
	return &o->files[option - LAB_CSV];
}

void lab_output_option(struct lab_output *o, int option, const char *value)
{
	file_of(o, option)->path = value;
}

/* Before any is opened, and so made. */
static void refuse_same_names(const struct lab_output *o)
{
	for (int i = 0; i < LAB_OUTPUTS; i++)
		for (int j = 0; j < i; j++)
			if (o->files[i].path != NULL && o->files[j].path != NULL &&
			    strcmp(o->files[i].path, o->files[j].path) == 0)
				cli_usage(
				    "%s and %s cannot both write to \"%s\"", options[j], options[i], o->files[i].path);
}

void lab_output_open(struct lab_output *o)
{
	refuse_same_names(o);
	if (file_of(o, LAB_PLOT)->path != NULL)
		lab_gnuplot_check("--plot", file_of(o, LAB_PLOT)->path);
	for (int i = 0; i < LAB_OUTPUTS; i++) {
		if (o->files[i].path == NULL)
			continue;
		lab_file_open(&o->files[i], options[i], o->files[i].path);
		lab_file_put_off(&o->files[i]);
		for (int j = 0; j < i; j++)
			lab_files_refuse_same(options[j], &o->files[j], options[i], &o->files[i]);
	}
}

static bool write_file(
    struct lab_file *file, const struct lab_report *report, void (*write)(const struct lab_report *, FILE *out))
{
	if (file->path == NULL)
		return true;
	if (!lab_file_begin(file))
		return false;
	write(report, file->stream);
	return lab_file_end(file);
}

int lab_output_write(struct lab_output *o, const struct lab_report *report, lab_script *plot_script, const void *plot)
{
	struct lab_file *picture = file_of(o, LAB_PLOT);
	bool well;

	well = write_file(file_of(o, LAB_CSV), report, lab_report_csv);
	well &= write_file(file_of(o, LAB_JSON), report, lab_report_json);
	well &= picture->path == NULL || lab_gnuplot_draw(picture, plot_script, plot);
	lab_report_print(report, stdout);
	return well ? EXIT_SUCCESS : CLI_FAILED;
}
